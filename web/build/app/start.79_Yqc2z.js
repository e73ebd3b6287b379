{
globalThis.__sveltekit_1vzi1g = {
base: ""
};

const element = document.getElementById('app');

Promise.all([
import("/app/immutable/entry/start.ChEs3fwY.js"),
import("/app/immutable/entry/app.fBV5bY0k.js")
]).then(([kit, app]) => {
kit.start(app, element);
});
}
