/// How good a forecast was, by the measures of the field.
#pragma once

#include <span>

namespace umbra::forecast {

/// Symmetric mean absolute percentage error, 0 … 200 (Makridakis 1993, as in the M4 competition); 0/0 counts as 0.
double smape(std::span<const double> said, std::span<const double> came);

/// What the errors of seasonal naive were in the past, on average: the unit of MASE and MSIS. With a season of 1, or a
/// past no longer than the season, of naive.
/// @return 0 when the past repeats itself exactly
double naive_error(std::span<const double> past, std::size_t season);

/// Mean absolute scaled error (Hyndman and Koehler 2006). @param unit naive_error of the past, above 0
double mase(std::span<const double> said, std::span<const double> came, double unit);

/// Mean scaled interval score (Gneiting and Raftery 2007, as in M4) of intervals that should miss with probability
/// `alpha`: their width, and 2/alpha times what they miss by.
double msis(std::span<const double> lower, std::span<const double> upper, std::span<const double> came, double alpha,
            double unit);

/// Share of what came that lay within, the edges included.
double coverage(std::span<const double> lower, std::span<const double> upper, std::span<const double> came);

/// Twice the mean pinball loss of a quantile; over many quantiles, divided by the mean of what came, the weighted
/// quantile loss.
double quantile_loss(std::span<const double> said, std::span<const double> came, double q);

/// Mean square of probability less outcome (Brier 1950). @param happened 0 or 1
double brier(std::span<const double> said, std::span<const double> happened);

}  // namespace umbra::forecast
