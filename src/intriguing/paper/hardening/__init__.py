"""§4.2's training claim and §4.3's closing suggestion, regime by regime in one harness."""
