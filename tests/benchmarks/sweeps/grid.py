"""The same grid by scikit-learn's GridSearchCV over MLPRegressor, with two processes; prints the best setting.

python grid.py DATA.npz 0.01,0.1 0,1
"""

import sys
import warnings

import numpy as np
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.neural_network import MLPRegressor

if __name__ == "__main__":
    data = np.load(sys.argv[1])
    rates, seeds = ([float(text) for text in words.split(",")] for words in sys.argv[2:4])
    x, y = (np.concatenate([data[f"train_{k}"], data[f"val_{k}"]]) for k in "xy")
    fold = np.repeat([-1, 0], [len(data["train_x"]), len(data["val_x"])])
    warnings.filterwarnings("ignore")
    net = MLPRegressor(
        hidden_layer_sizes=[64], activation="logistic", solver="sgd", alpha=0, batch_size=64, max_iter=20, momentum=0,
        tol=0, n_iter_no_change=100,
    )  # fmt: skip
    grid = {"learning_rate_init": rates, "random_state": list(map(int, seeds))}
    search = GridSearchCV(
        net,
        grid,
        cv=PredefinedSplit(fold),
        n_jobs=2,
        refit=False,
        scoring="neg_mean_squared_error",
        error_score=-np.inf,
    )
    search.fit(x, y.ravel())
    print(search.best_score_, search.best_params_)
