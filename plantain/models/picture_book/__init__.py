"""The picture book: a drawn world, captions for it, a reader of its pictures, and a small Klein trained on them."""
