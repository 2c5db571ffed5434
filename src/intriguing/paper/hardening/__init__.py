"""§4.2's training claim and §4.3's closing suggestion, family by family in one harness."""
