"""Command lines for upscalers that are only libraries, each the shortest fair use that its own documentation shows."""
