{
globalThis.__sveltekit_1vzi1g = {
base: ""
};

const element = document.getElementById('app');

Promise.all([
import("/app/immutable/entry/start.17BCOPWd.js"),
import("/app/immutable/entry/app.BesLVElt.js")
]).then(([kit, app]) => {
kit.start(app, element);
});
}
