// Loads a CommonJS package from scripts/node_modules. Deno 2.1.4 only loads those
// that it installed itself, unless a flag is set.

const PACKAGES = new URL("../../../scripts/node_modules/", import.meta.url);

type Require = (name: string) => unknown;

/** The exports of a package. */
export function load(name: string): unknown {
  const folder = new URL(`${name}/`, PACKAGES);
  const text = Deno.readTextFileSync(new URL("package.json", folder));
  return run(new URL(JSON.parse(text).main, folder));
}

function run(file: URL): unknown {
  const module = { exports: {} };
  const require: Require = (name) =>
    name.startsWith(".") ? run(new URL(`${name}.js`, file)) : load(name);
  const code = Deno.readTextFileSync(file);
  new Function("module", "exports", "require", code)(
    module,
    module.exports,
    require,
  );
  return module.exports;
}
