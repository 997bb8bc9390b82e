"""Delivery: from one encoded result to any number of sockets, over WebSocket, SSE and multipart."""
