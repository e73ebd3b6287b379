{
globalThis.__sveltekit_1vzi1g = {
base: ""
};

const element = document.getElementById('app');

Promise.all([
import("/app/immutable/entry/start.pOFc7XZ_.js"),
import("/app/immutable/entry/app.XzipRw3j.js")
]).then(([kit, app]) => {
kit.start(app, element);
});
}
