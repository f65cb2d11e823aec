"""The formats of an export: SavedModel, LiteRT and ONNX."""
