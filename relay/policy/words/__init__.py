"""What the words of a text say: word lists, labels, template fields, look-alikes. The door is `lexicon`."""
