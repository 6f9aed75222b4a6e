// What tslab's compiler is told beyond what tslab tells it: how modules are found, where errors are, what is rewritten.
"use strict";
const path = require("node:path");

// shorthand properties: tslab keeps variables in `exports` and asks the checker for an identifier's symbol, which for
// `{ batch }` is the property's; so such ones are written out, `{ batch: exports.batch }`, before it looks
const expandShorthands = (ts, checker) => (context) => {
  const { factory } = context;
  const isEarlier = (declaration) => path.basename(declaration.getSourceFile().fileName) === "__prev__.d.ts";
  const visit = (node) => {
    if (!ts.isShorthandPropertyAssignment(node)) return ts.visitEachChild(node, visit, context);
    if (!checker.getShorthandAssignmentValueSymbol(node)?.declarations?.some(isEarlier))
      return ts.visitEachChild(node, visit, context);
    const variable = factory.createPropertyAccessExpression(factory.createIdentifier("exports"), node.name.text);
    const fallback = ts.visitNode(node.objectAssignmentInitializer, visit); // ({ batch = 8 } = options)
    return factory.createPropertyAssignment(
      node.name.text,
      fallback ? factory.createAssignment(variable, fallback) : variable,
    );
  };
  return (file) => (ts.isSourceFile(file) ? ts.visitEachChild(file, visit, context) : file);
};

// awaits: `await x` becomes `await __tslab__.live(x)`, which the cell's interrupt rejects
const interruptAwaits = (ts) => (context) => {
  const { factory } = context;
  const visit = (node) => {
    if (!ts.isAwaitExpression(node)) return ts.visitEachChild(node, visit, context);
    const tslab = factory.createIdentifier("__tslab__");
    const live = factory.createPropertyAccessExpression(tslab, "live");
    return factory.updateAwaitExpression(
      node,
      factory.createCallExpression(live, undefined, [ts.visitNode(node.expression, visit)]),
    );
  };
  return (file) => (ts.isSourceFile(file) ? ts.visitEachChild(file, visit, context) : file);
};

/** Changes the compiler before tslab loads it; returns the source maps of a cell's two compilations, the last ones made. */
function repair(fromTslab) {
  const file = fromTslab.resolve("@tslab/typescript-for-tslab");
  const ts = require(file);
  const maps = [];
  require.cache[file].exports = {
    // its own properties are getters, so copy
    ...ts,
    createWatchCompilerHost: (files, options, ...rest) => {
      // blind to `exports` maps otherwise
      const moduleResolution = ts.ModuleResolutionKind.Bundler;
      const own = { moduleResolution, lib: ["lib.es2023.d.ts"], sourceMap: true };
      const host = ts.createWatchCompilerHost(files, { ...options, ...own }, ...rest);
      const { createProgram } = host;
      host.createProgram = (...program) => {
        const builder = createProgram(...program);
        const { emit } = builder;
        builder.emit = (source, write, token, onlyTypes, transformers) => {
          const keepMap = (name, text, ...more) => {
            if (path.basename(name) === "__tslab__.js.map") maps[0] = text;
            else if (!name.endsWith(".map")) write(name, text.replace(/\n?\/\/# sourceMappingURL=.*$/, "\n"), ...more);
          };
          return emit(source, keepMap, token, onlyTypes, {
            ...transformers,
            before: [
              expandShorthands(ts, builder.getProgram().getTypeChecker()),
              ...(path.basename(source.fileName) === "__tslab__.ts" ? [interruptAwaits(ts)] : []),
            ],
          });
        };
        return builder;
      };
      return host;
    },
    transpileModule: (code, { compilerOptions, ...rest }) => {
      const { outputText, sourceMapText, ...more } = ts.transpileModule(code, {
        ...rest,
        compilerOptions: { ...compilerOptions, sourceMap: true },
      });
      maps[1] = sourceMapText;
      return { ...more, outputText: outputText.replace(/\n?\/\/# sourceMappingURL=.*$/, "\n") };
    },
  };
  return { maps };
}

module.exports = { repair };
