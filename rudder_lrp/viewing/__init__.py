"""What a person looks at: numbers, timelines, heat maps."""
