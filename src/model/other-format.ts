const exporters = {
  pytorch: 'torch.onnx.export(model, (x,), "MODEL.onnx", dynamo=True, optimize=False)',
  keras: 'model.export("MODEL.onnx", format="onnx")',
} as const;

/** What other file of a model its first bytes say that it is, and how that model becomes ONNX; empty if they say nothing. */
export function otherFormat(bytes: Uint8Array): string {
  const start = Buffer.from(bytes.subarray(0, 16)).toString("latin1");
  if (start.startsWith("PK\x03\x04"))
    return ` (a zip archive: of PyTorch? ${exporters.pytorch}; of Keras? ${exporters.keras})`;
  if (start.startsWith("\x80")) return ` (a pickle, of PyTorch? ${exporters.pytorch})`;
  if (start.startsWith("\x89HDF")) return ` (HDF5, of Keras? ${exporters.keras})`;
  if (start.startsWith("GGUF") || start.startsWith('{"', 8))
    return ` (weights without a graph; export the model: ${exporters.pytorch})`;
  if (start.startsWith("TFL", 4)) return " (TensorFlow Lite: export the float model it was made from)";
  return "";
}
