/** Errors that JavaScript makes itself. */
const languageErrors = [TypeError, RangeError, SyntaxError, ReferenceError, EvalError, URIError];

/** Words of JavaScript's messages, and of those of ONNX Runtime and the C++ library. */
const foreign = [
  /cannot read propert|is not a function|is not iterable|is not defined|undefined|\[object |Invalid array length|call stack/i,
  /Array buffer allocation|out of memory.*heap|BigInt|Invalid (typed array|string) length|must be (of type|an instance of)/,
  /onnxruntime|\.(cc|h|cpp):\d+|std::|ORT_ENFORCE|Non-zero status|Status Message|status code|Gsl|terminate called/i,
];

const longest = 300;

/** What is wrong with an error's one line, as a user reads it; empty if nothing is. */
export function problemOf(error: unknown): string {
  if (!(error instanceof Error)) return `not an error: ${String(error)}`;
  const { message } = error;
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 20; at = at.cause, depth++) {
    const isLanguages = languageErrors.some((kind) => at instanceof kind);
    if (isLanguages && message.includes((at as Error).message)) return "JavaScript's message";
  }
  if (foreign.some((words) => words.test(message))) return "a message of JavaScript or C++";
  if (message.length > longest) return `${message.length} characters`;
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f-\u009f\u2028\u2029]/.test(message)) return "control characters";
  return message.trim() ? "" : "no message";
}
