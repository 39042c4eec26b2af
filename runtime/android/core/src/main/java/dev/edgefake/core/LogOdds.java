package dev.edgefake.core;

import java.util.Arrays;

/** Log-odds of fake: to and from P(fake), and from those of a track's frames to one. */
final class LogOdds {
    private LogOdds() {}

    /** sigmoid(x), without overflow. */
    static double probability(double logOdds) {
        if (logOdds >= 0) {
            return 1 / (1 + Math.exp(-logOdds));
        }
        return Math.exp(logOdds) / (1 + Math.exp(logOdds));
    }

    /** Infinite at 0 and 1. */
    static double of(double probability) {
        if (probability <= 0 || probability >= 1) {
            return Math.copySign(Double.POSITIVE_INFINITY, probability - 0.5);
        }
        return Math.log(probability / (1 - probability));
    }

    /** The mean without a share of the lowest and of the highest, each rounded down. */
    static double trimmedMean(double[] evidence, double trim) {
        double[] sorted = evidence.clone();
        Arrays.sort(sorted);
        int cut = (int) (trim * sorted.length);
        double sum = 0;
        double lost = 0;
        for (int i = cut; i < sorted.length - cut; i++) { // Neumaier's sum, which loses nothing that matters
            double total = sum + sorted[i];
            lost += Math.abs(sum) >= Math.abs(sorted[i]) ? (sum - total) + sorted[i] : (sorted[i] - total) + sum;
            sum = total;
        }
        return (sum + lost) / (sorted.length - 2 * cut);
    }
}
