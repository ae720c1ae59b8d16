// Gives what the host calls its name in the contract: AssemblyScript has identifiers only. `fold_update` becomes
// `refrain:plugin/fold@0.1.0#update`, with `after` to be called when its answer has been read; what else is exported goes.

const CONTRACT = /^(about|fold|transform|process)_([a-z]+)$/;
const KEPT = ["memory", "cabi_realloc", "_initialize"];

export default class {
  afterCompile(module) {
    const places = Array.from({ length: module.getNumExports() }, (_, place) => module.getExportByIndex(place));
    const all = places.map((place) => this.binaryen.getExportInfo(place));
    const after = all.find(({ name }) => name === "after").value;
    for (const { name, value } of all) {
      if (KEPT.includes(name)) continue;
      module.removeExport(name);
      const found = CONTRACT.exec(name);
      if (!found) continue;
      const full = `refrain:plugin/${found[1]}@0.1.0#${found[2]}`;
      module.addFunctionExport(value, full);
      if (found[2] !== "release") module.addFunctionExport(after, `cabi_post_${full}`);
    }
  }
}
