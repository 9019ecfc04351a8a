"""The running proxy: re-encrypts what a policy allows, signs receipts, anchors its log."""
