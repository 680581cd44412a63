"""What developers of this project run on their machines; nothing here is part of the product."""
