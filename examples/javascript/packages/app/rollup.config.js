import commonjs from "@rollup/plugin-commonjs";
import nodeResolve from "@rollup/plugin-node-resolve";
import typescript from "typescript";

// Types are checked by tsc; here they are only taken out.
const withoutTypes = {
  name: "without-types",
  transform(code, id) {
    if (!id.endsWith(".ts")) return null;
    const { outputText, sourceMapText } = typescript.transpileModule(code, {
      fileName: id,
      compilerOptions: { target: "es2022", module: "esnext", sourceMap: true },
    });
    return { code: outputText, map: sourceMapText };
  },
};

export default {
  output: { dir: "dist", entryFileNames: "[name].mjs", format: "es", sourcemap: true },
  plugins: [nodeResolve({ extensions: [".ts", ".js"] }), commonjs(), withoutTypes],
};
