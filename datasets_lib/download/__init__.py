"""Getting datasets: downloads that resume, archives unpacked whole and safely."""
