// The simulator declares everything of this header by itself.
