"""Plain algorithms on numbers that count their multiplications: an independent count of FLOPs."""

import math


class Number:
    """A float that counts multiplications and divisions, each half of a multiply-add."""

    count = 0

    def __init__(self, value):
        self.value = float(value)

    def __mul__(self, other):
        Number.count += 1
        return Number(self.value * other.value)

    def __truediv__(self, other):
        Number.count += 1
        return Number(self.value / other.value)

    def __add__(self, other):
        return Number(self.value + other.value)

    def __sub__(self, other):
        return Number(self.value - other.value)


def counted(algorithm, *matrices):
    """Return twice the multiplications of an algorithm, and its result as nested lists."""
    Number.count = 0
    result = algorithm(*([[Number(x) for x in row] for row in matrix] for matrix in matrices))
    return 2 * Number.count, [[x.value for x in row] for row in result]


def product(left, right):
    return [
        [
            _sum(a * b for a, b in zip(row, column, strict=True))
            for column in zip(*right, strict=True)
        ]
        for row in left
    ]


def squared_distances(left, right):
    def square(a, b):
        difference = a - b
        return difference * difference

    return [[_sum(square(a, b) for a, b in zip(x, y, strict=True)) for y in right] for x in left]


def cholesky(matrix):
    size = len(matrix)
    factor = [[Number(0)] * size for _ in range(size)]
    for i in range(size):
        for j in range(i + 1):
            rest = matrix[i][j]
            for k in range(j):
                rest = rest - factor[i][k] * factor[j][k]
            factor[i][j] = Number(math.sqrt(rest.value)) if i == j else rest / factor[j][j]
    return factor


def solve_upper(matrix, right):
    size, solution = len(matrix), [list(row) for row in right]
    for i in reversed(range(size)):
        for column in range(len(right[0])):
            rest = right[i][column]
            for k in range(i + 1, size):
                rest = rest - matrix[i][k] * solution[k][column]
            solution[i][column] = rest / matrix[i][i]
    return solution


def solve(matrix, right):
    """Solve by elimination without pivoting, for matrices that need none."""
    size, matrix = len(matrix), [list(row) for row in matrix]
    right = [list(row) for row in right]
    for k in range(size):
        for i in range(k + 1, size):
            factor = matrix[i][k] / matrix[k][k]
            for j in range(k + 1, size):
                matrix[i][j] = matrix[i][j] - factor * matrix[k][j]
            for column in range(len(right[0])):
                right[i][column] = right[i][column] - factor * right[k][column]
    return solve_upper(matrix, right)


def _sum(numbers):
    total = Number(0)
    for number in numbers:
        total = total + number
    return total
