// Runs a Python file in Pyodide: node run.mjs SITE CHECKOUT PYTHON_FILE, beside node_modules.
import { loadPyodide } from "pyodide";

const [site, checkout, file] = process.argv.slice(2);
const pyodide = await loadPyodide({ env: { HOME: "/home/web" } });
for (const [name, folder] of [["/site", site], ["/checkout", checkout]]) {
  pyodide.FS.mkdirTree(name);
  pyodide.mountNodeFS(name, folder);
}
const { default: fs } = await import("fs");
pyodide.globals.set("source", fs.readFileSync(file, "utf8"));
await pyodide.runPythonAsync(`
import sys
sys.path[:0] = ["/checkout", "/site"]
exec(source, {"__name__": "__main__"})
`);
