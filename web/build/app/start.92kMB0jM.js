{
globalThis.__sveltekit_1vzi1g = {
base: ""
};

const element = document.getElementById('app');

Promise.all([
import("/app/immutable/entry/start.d1Lh2YpB.js"),
import("/app/immutable/entry/app.CBHN-xcW.js")
]).then(([kit, app]) => {
kit.start(app, element);
});
}
