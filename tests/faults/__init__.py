"""What archlab promises, held against faults that are planted at random; the fast share of it is tested always."""
