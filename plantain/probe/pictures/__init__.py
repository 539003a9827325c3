"""Pictures: drawn by the model, or expected by it before it has drawn."""
