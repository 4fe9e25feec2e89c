// Preloaded by test-sanitized-addon.mjs: loads the sanitized build wherever the usual addon is asked for.
const { existsSync } = require("node:fs");
const { join, sep } = require("node:path");

const usual = ["native", "build", "Release", "athanor.node"].join(sep);
const sanitized = join(__dirname, "../native/build/address/native/build/Release/athanor.node");
const { dlopen } = process;

process.dlopen = (module, path, ...rest) => {
  if (!path.endsWith(usual)) return dlopen.call(process, module, path, ...rest);
  if (!existsSync(sanitized)) throw new Error(`${sanitized} does not exist`);
  return dlopen.call(process, module, sanitized, ...rest);
};
