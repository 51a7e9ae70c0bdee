// Writes static/vendor/codemirror.js and, beside it, the licence of every package that went into it.
import { build } from "esbuild";
import { existsSync, readFileSync, writeFileSync } from "node:fs";

const VENDOR = "../../static/vendor";
const result = await build({
  entryPoints: ["entry.js"], bundle: true, minify: true, format: "esm", target: "es2022", charset: "utf8",
  outfile: `${VENDOR}/codemirror.js`, legalComments: "none", metafile: true,
  banner: { js: "/* CodeMirror 6, bundled by vendoring/codemirror; licences: codemirror.LICENSE.txt */" },
});
const packages = [...new Set(Object.keys(result.metafile.inputs).map((path) => path.match(/node_modules\/((?:@[^/]+\/)?[^/]+)/)?.[1]).filter(Boolean))].sort();
const licences = packages.map((name) => {
  const folder = `node_modules/${name}`;
  const { version, license } = JSON.parse(readFileSync(`${folder}/package.json`));
  const file = ["LICENSE", "LICENSE.md"].map((each) => `${folder}/${each}`).find(existsSync);
  if (!file) throw new Error(`${name} has no licence file`);
  return `${name} ${version} (${license})\n\n${readFileSync(file, "utf8").trim()}\n`;
});
writeFileSync(`${VENDOR}/codemirror.LICENSE.txt`, licences.join(`\n${"-".repeat(78)}\n\n`));
console.log(packages.length, "packages", result.metafile.outputs[`${VENDOR}/codemirror.js`].bytes, "bytes");
