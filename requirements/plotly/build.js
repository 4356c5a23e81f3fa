// Bundles board.js into static/vendor, and writes the licences of all that went into it. Run by `make plotly`.
const fs = require("node:fs");
const path = require("node:path");
const { build } = require("esbuild");

const { version } = require("plotly.js/package.json");
const folder = path.join(__dirname, "..", "..", "static", "vendor", `plotly.js-${version}`);
const BANNER = `/* plotly.js v${version}, of which bars and the map; copyright Plotly, Inc., MIT. The licences of all its parts: LICENSES.txt */`;

const packageOf = (file) => {
  const parts = file.split("node_modules/").pop().split("/");
  return parts[0].startsWith("@") ? parts.slice(0, 2).join("/") : parts[0];
};

const licenceOf = (name) => {
  const home = path.join(__dirname, "node_modules", name);
  const { version: which, license } = JSON.parse(fs.readFileSync(path.join(home, "package.json"), "utf8"));
  const file = fs.readdirSync(home).find((one) => /^licen[cs]e/i.test(one));
  const text = file ? fs.readFileSync(path.join(home, file), "utf8").replace(/\r\n/g, "\n").trim() : "(its package has no text of it)";
  const plain = text.split("\n").map((line) => line.trimEnd()).join("\n");
  return `${name} ${which}, ${typeof license === "string" ? license : JSON.stringify(license)}\n\n${plain}\n`;
};

build({
  absWorkingDir: __dirname,
  entryPoints: ["board.js"],
  bundle: true,
  minify: true,
  metafile: true,
  format: "iife",
  globalName: "Plotly",
  target: "es2020",
  legalComments: "none",
  loader: { ".css": "empty" }, // the style of maps of tiles, which aren't part of this
  define: { global: "window", "define.amd": "false", "process.env.NODE_DEBUG": "false" },
  banner: { js: BANNER },
  outfile: path.join(folder, "plotly-board.min.js"),
}).then(({ metafile }) => {
  const [{ inputs }] = Object.values(metafile.outputs);
  const used = Object.keys(inputs).filter((file) => inputs[file].bytesInOutput > 0 && file.includes("node_modules/"));
  const names = new Set(used.map(packageOf));
  const texts = [...names].sort().map(licenceOf);
  fs.writeFileSync(path.join(folder, "LICENSES.txt"), texts.join(`\n${"-".repeat(100)}\n\n`));
});
