"""What people read: sentences, tables, figures, the card's section."""
