"""PTB-XL as files and tables: simulator, tables, labels, metadata features, validation, the store."""
