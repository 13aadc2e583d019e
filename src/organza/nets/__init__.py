"""Networks and their parts. They know no GAN: no loss, no optimizer, no training."""
