"""What a person looks at: timelines, learning curves with their verdict, words and signals in colour."""
