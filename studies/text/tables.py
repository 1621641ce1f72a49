def fill(page, result):
    print("no tables yet")
