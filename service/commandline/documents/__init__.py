"""Files whose texts are translated and whose structure stays."""
