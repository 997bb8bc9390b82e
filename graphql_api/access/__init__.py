"""Who calls, and what they may see: tokens, principals, visibility. The only importer of ``jwt``."""
