{
__sveltekit_1vzi1g = {
base: ""
};

const element = document.getElementById('app');

Promise.all([
import("/app/immutable/entry/start.BM77SuKs.js"),
import("/app/immutable/entry/app.gP3-56K8.js")
]).then(([kit, app]) => {
kit.start(app, element);
});
}
