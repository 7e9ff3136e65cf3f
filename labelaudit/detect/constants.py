"""Every constant of detection that was chosen, with its meaning, its origin and its worth.

*Worth* is what the constant changes: AUROC / average precision of the default ranking unless said (docs/accuracy.md,
docs/log.md). Where it is not given, it was not measured.
"""

from __future__ import annotations

from types import MappingProxyType

# --- Score: how much an epoch counts ---------------------------------------------------------------------------------

LEAST_DOUBT = 0.05
"""Doubt below this (margin per sample) does not reduce trust, so clean data keeps all epochs."""
MEMORIZED_BELOW = 0.25
"""An epoch with less trust has memorized. In 60 audits that memorized nothing the lowest trust was .55, in five that
did the last was .09 at most. Worth of the trust in memorized trainings: .8088 / .545 to .9931 / .973, and an estimate
of .14 instead of .00 for .20."""
LARGEST_MARGIN = 10.0
"""Margins beyond count as this when doubt is measured: one diverging sample must not decide."""
STEP_SLOPE = 4.0
"""Slope of the step in the soft misprediction rate. From prototypes: average precision .900 under pair flips of 10%,
where the hard step has .849 and AUL .746."""
SLOTS = 4
"""Other classes remembered for each sample: 40 bytes an image for any number of classes."""

SHARPNESS_STARTS, FIRST_STRENGTH, FIRST_ERROR = (1.5, 4.0, 8.0), 30.0, 0.1
"""Where expectation-maximization of the noise transition model begins. Worth: without 1.5 a thousand made-up classes
have a rate of .34 for .10; without 4 two confused classes of caltech24 are not found; without 8, and by likelihood, the
rate of uniform 80% on Fashion-MNIST is .23 and .35 (measured before the sharpness had to be 1 in all)."""
PAIRS_ODDS = 20.0
"""How much likelier labels have to be by errors between a few named pairs of classes than without: strong evidence
after Kass and Raftery (1995). Worth: without it 4 and 5 of 500 clean photographs are called wrong, in two audits of
three. Chosen on these and on flips between six pairs of classes; four other clean parts have none, and flips between
five other pairs are found."""
LEAST_CERTAINTY = 0.5
"""Heads beside a network that are less sure of what they are right about have hardly begun to learn, and the network
alone tells the rate. Worth: 200 clean classes of 20 images, where heads have .14 (elsewhere .69 to 1.02): a rate of
.062 to .000. Chosen on these."""
SELF_INFLUENCE = 0.1
"""What the given label has gained, in log-probability, in a probe that was trained on it. Chosen on planted errors of
6,000 images of Fashion-MNIST. Worth there: average precision .38 to .68 where two classes are confused, .9855 to .9765
under pair flips; larger values gain little on the first and lose more on the second."""
TRANSITION_STEPS, STRENGTH_EVERY = 200, 5
"""Steps at most, and how often the prior's strength is fitted again."""

# --- Probability and interval ----------------------------------------------------------------------------------------

OVERCOUNTED_SHARE, HIDDEN_SHARE = 0.1, 0.3
"""Of the disagreement that a held-out probe's own doubt explains, these shares may be right labels counted as errors,
and errors that are not counted. Worth: between −.06 and .26 on 13 audits: photographs, look-alikes, numerals and
CIFAR-10N, with planted and human errors. Chosen on the same."""
UNRECORDED_SHARE = 0.5
"""The share of what the records leave open that the lower end of the interval counts. Worth: at 80% uniform noise the
rate is .722 with none of it, .757 with half and .816 with all; the interval holds the truth (docs/accuracy.md)."""
INDISTINCT = 1 / 3
"""Two classes that are more alike cannot be told apart: 1/2 by chance. Classes of caltech24 divided at random have .46
and .48, its most alike ones, two kinds of sailing ships, .19 to .21."""
FLAG_ABOVE = 0.5
"""A sample with P(mislabeled) above this is suspicious: the AUL paper, section 5."""

# --- Mixtures --------------------------------------------------------------------------------------------------------

MIN_SCORES = 10
"""Fewer finite scores are not fitted. A choice."""
EXACT_UP_TO = 20_000
"""With more scores the fit runs on a histogram, so that its cost does not grow with their number."""
BINS, TAIL, TAIL_BINS = 7936, 0.0005, 128
"""The histogram: even bins between the tails, quantiles beyond. Weights and means stay within 1e-3 of the exact fit."""
START_QUANTILES = (0.5, 0.7, 0.85, 0.95, 0.3, 0.15)
"""Starts split the scores here; the likeliest end wins."""
TOLERANCE, MAX_STEPS = 1e-8, 2000
"""Expectation-maximization stops at so small a gain of mean log-likelihood. Worth: the maximum itself would move the
rate by up to .0002 (AUL)."""

# --- Reviews and warnings --------------------------------------------------------------------------------------------

REVIEWS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""Lengths of a review for which the caught share is reported, in multiples of the suspicious. A choice."""
LOW_SEPARATION = 2.0
"""Ashman's D below which two Gaussians are not told apart: Ashman, Bird and Zepf 1994."""
FEW_IN_CLASS = 20
"""A class with fewer images causes a warning. A choice: 200 classes of 20 images had a rate .03 too low."""
WEAK_PROBE = 0.5
"""A probe that disagrees with more of the labels causes a warning. A choice."""
STRUCTURED, STRUCTURED_CLASSES, STRUCTURED_RATE = 0.6, 4, 0.01
"""Structure, classes and rate from which on uneven errors cause a warning. A choice."""

# --- Robust training --------------------------------------------------------------------------------------------------

SYMMETRIC_FROM = 0.75
"""Least spread of a network's disagreements, against that of uniform noise, that passes for symmetric noise. After 1
and 2 epochs of DivideMix on 5,000 images of CIFAR-10 with an audit that is wrong about 15%, it was .99 and 1.00 at
uniform .4, .61 and .56 at pair flip .4, .67 and .61 at pair flip .2 (one seed). It is not tested on other data."""

# --- Kinds: ambiguous and corrupted ----------------------------------------------------------------------------------

CORRUPTED_ABOVE = 0.5
"""An image with P(corrupted) above this is corrupted. Worth: 2,399 of 2,400 corrupted images are found, and 6 of 21,600
others called corrupted (Fashion-MNIST); 2,400 and 1 on CIFAR-10."""
UNDECIDED = 0.02
"""So large a share of untaught wrong labels would be ambiguous. Worth: between 1 and 8% of the suspicious wrong labels
are ambiguous on Fashion-MNIST and CIFAR-10, because taught ones are less clear."""
LEAST_ORDINARY = 50
"""With fewer samples that are not suspicious nothing is ambiguous. A choice."""
MOST_COPIED, COPIED_DIGITS = 500, "0123"
"""Images that have corrupted copies: at most so many, and of embedded ones those whose content hash begins with one of
these digits, a quarter. More make the regression no better; 500 cost a quarter of a second."""
LEAST_IMAGES = 20
"""With fewer corrupted copies no image is called corrupted. A choice."""
FOLDS, ROUNDS = 2, 2
"""Each half is judged by the other's regression, twice: the second time without the images that the first found, as
corrupted images in the reference pull the regression."""
MOST_FITTED = 10_000
"""Images that a regression is fitted on at most, for speed."""
FARTHEST_STATISTIC = 10.0
"""Statistics count up to so many deviations: one odd image must not turn a regression around."""
TOO_DENSE = 1.5
"""The second round leaves out images where copies are so many times as dense. If two thirds of the images or more are
like the copies, that is what this data looks like."""
LEAST_SHARE = 1e-3
"""Least share of a kind of corruption, so that a single image is found. Worth: .998 of single shuffled copies are found
among 20,000 images, with 1 / N only .30 among 50,000; 10 of 20,000 clean Fashion-MNIST images are called corrupted."""
SIDE = 32
"""Larger images are shrunk by whole factors to fewer than twice as many pixels a side. Corruption shows at that size,
and a photograph costs no more than a small image."""
LEAST_NOISE = 0.25
"""The least share of noisy pixels in a copy of kind ``noise``. Of such copies 80% are found, 51% on photographs."""

# --- Near duplicates -------------------------------------------------------------------------------------------------

UNIFORM_EDGE, WIDEST_EDGE, EDGE_RIM = 8, 0.15, 0.03
"""Lines at the edge of an image whose grey levels differ by at most so much are cut off, up to such a share a side, and
such a share of the rest, in which a frame is mixed with the image. Worth of the rest: framed copies of CIFAR-10 .76 to
1.00, and a quarter fewer false pairs."""

LEAST_ALIKE = 0.84
"""Images are copies from so much correlation of their thumbnails on. Chosen on planted copies; of others it finds .99
on caltech24 and on CIFAR-10 (docs/duplicates.md). At .80 all are found, and half as many false ones more. Embeddings
have no say: with a share of their cosine added, no threshold suits both photographs and small images."""
IMAGES_PER_FALSE_COPY, FEW_IMAGES, DRAWN_PAIRS = 100, 20, 1000
"""Where unrelated images are much alike, the threshold is so high that one in so many images would be a false copy, by
pairs that are drawn at random. Worth: of 1,797 handwritten digits 6,180 pairs reach .84, and 13 the threshold."""
SCALES, ROUGH_SCALES, ROUGH_MARGIN = (0.96, 0.92, 0.88, 0.84), (0.9,), 0.15
"""Scales at which one thumbnail is looked for in the other, and those of a first look at half the size, after which
pairs that need more than a margin are left. Worth: the first look leaves a hundredth of the candidates, in a tenth of
the time, and loses .2% of planted copies."""
NEIGHBORS = 5
"""Neighbors that are compared with each image, by each of three measures."""
THUMB_DIMENSIONS, FEATURE_DIMENSIONS = 64, 128
"""Principal components of thumbnails and of embeddings by which neighbors are searched."""
SURROUNDINGS, GREY_NOISE = 0.15, 2.0
"""Standard deviation, in sides of a thumbnail, of the surroundings that are taken off, and of the noise in grey levels
that is added to each norm: otherwise sea and sky are like other sea and sky."""
MOST_EXACT, CELLS_AROUND, IMAGES_OF_CELL = 100_000, 16, 40
"""Up to so many images the search is exact. Beyond, each image is looked for in so many cells of √N, which are made of
so many images each. Worth of 16 cells for 8: .85 of the five nearest for .70, in half as much time again."""

# --- Images of no class ----------------------------------------------------------------------------------------------

NO_CLASS_ABOVE = 0.5
"""An image with P(no class) above this belongs to none of the classes."""
MOSTLY_BELIEVED = 0.5
"""An image is of a class in which the probe believes more than this. Worth: of 16 digits of the demo, all of a class,
that were called images of no class with odds of 1 / 15 before, 2 are left with this and 1 / 20; heads alone find 1 to 8
points less of the foreign look-alikes and nothing less of caltech24's."""
NO_CLASS_ODDS = 1 / 20
"""Odds of an image of no class before it is looked at, so that 20 times as likely is enough. Chosen after a look at all
sets, for few false alarms. Worth (13 sets with classes withheld; clean caltech24, look-alikes, Fashion-MNIST and
CIFAR-10): 67% of the foreign images are found, and at most .22% of clean ones are taken for some; with 1 / 10 it is 79%
and .85%, with 1 / 15 73% and .43% (docs/outliers.md)."""
STRAY_LABELS = 0.1
"""The share of images of a class that may have any label. Worth on the same: average precision .91, also with .05, .90
with .2, and .75 without the label."""
NO_CLASS_DENSITY = 5.0
"""The second round leaves out images that are so many times as likely without a class: foreign images hide each other.
Worth on the same: 73% and .43%; with 3 it is 78% and .82%, with 10 64% and .23%, with one round 49% and .23%."""

# --- Reviewed sample -------------------------------------------------------------------------------------------------

STRATA, STRATA_FLOOR = 8, 0.02
"""Strata of a sample, and by how much P(mislabeled) is moved from 0 and 1 before they are cut: what nobody suspects is
looked at too. Worth: with a quarter of the logit of P, as before, intervals were 3 to 40% wider (20 data sets, 40 or
200 reviews each), and the coverage alike; more strata are no better."""
HALF_AN_ERROR = 0.5
"""What is added to the stratum that moves an end of the interval most. Worth: without it the coverage is .91 on
caltech24 with uniform 10%, with it .95 to .98; a whole error makes intervals 8 to 22% wider."""
CONFIDENCE = 0.95
"""Of the intervals of a reviewed sample: the customary one."""
LEAST_OF_STRATUM = 4
"""Fewer samples of a stratum give no interval. Worth: with three the coverage was .88 where P says nothing, with four
.96."""
LEAST_OF_CLASS = 30
"""A class with fewer reviewed samples has no rate of its own: Parker et al. 2017 take the same number."""
UNANSWERED_COSTS = 3
"""So many answers does a sample that was left out cost in the choice of where a review ends. A choice: who answers less
than three of four in a row has stopped."""
CALIBRATION_PRIOR = (0.1, 1.0)
"""Trust in a = 0 and b = 1, in answers. Worth: calibration error .027 to .013 on labels like CIFAR-10N's aggregate,
.065 to .002 on clean look-alikes; .002 to .004 where P was calibrated."""
FARTHEST_CALIBRATED = 12.0
"""Logits of P(mislabeled) beyond count as this when P is recalibrated. Worth (15 reviews; 5, 12 and 20): log loss on
CIFAR-10N aggregate .204, .190, .177, calibration error .017, .021, .020; on the numerals, with errors of P near 0,
.327, .332, .338 and .032, .040, .046."""
HALF_WIDTH = 0.02
"""The screen says how many more reviews would bring ± this. A choice."""

# --- Numerical: these keep the arithmetic finite, or fast, and change no result that matters --------------------------

LEAST_TRUST = 1e-6  # of an epoch; with .01 to .05 a hundred memorized epochs outweighed the others (docs/log.md)
ROUNDING = 1e-6  # a belief that equals its threshold reaches it
FARTHEST_LOGIT = 40.0  # beyond it probabilities are 0 and 1 in double precision
LEAST_CURVATURE = 1e-9  # of the likelihood in the sharpness
NORMAL_95 = 1.959964  # 97.5% quantile of the standard normal distribution
MIN_VARIANCE = 1e-6  # of a Gaussian, in units of the scores' own variance
FIRST_SHARE, LARGEST_SHARE = 0.1, 0.99  # of all kinds of corruption: start and bound
SHARE_STEPS, SHARE_TOLERANCE = 200, 1e-3  # of expectation-maximization; the tolerance relative to LEAST_SHARE
ALIKE_STEPS = 200  # of expectation-maximization of how far errors are like doubt
LEAST_BELIEF, LEAST_ERROR, TRANSITION_TOLERANCE = 1e-13, 1e-6, 1e-2  # of the noise transition model
SHARPNESSES, STRENGTHS, SHARPNESS_STEPS = (0.0, 20.0), (1.0, 1e4), 3  # bounds, and Newton's steps at a time
CELL_STEPS = 4  # rounds in which cells of T with errors of their own are chosen
LONGEST_STEP, SHORT_STEP = 0.5, 0.05  # of these: a share of the sharpness, and what is never cut
LARGEST_EXPONENT, TINY = 50.0, 1e-6  # bounds of logits and of deviations
LEAST_PART = 1e-2  # of a thumbnail's squares in one of its parts
POOLED, BLOCK = 16, 64  # side of the thumbnails that are searched; products whose largest is found first
IMAGES_AT_ONCE, PAIRS_AT_ONCE, PRODUCTS_AT_ONCE = 4096, 1024, 1 << 22  # for memory, each in a thread
DIGEST_DIGITS = 16  # that are compared: 64 bits, which 4 billion images would need to collide
DRAWS = 10_000  # of an end of a reviewed interval
SAMPLES_AT_ONCE, VALUES_AT_ONCE = 16_384, 1 << 17  # updated together, to stay in the processor's cache
COSINES_AT_ONCE = 1 << 22  # of images and classes, or features: 16 MB

# --- Advice on prioritization (`labelaudit advise`) ------------------------------------------------------------------

POWERS = MappingProxyType({"50%": 1, "33%": 2})
"""Selective Backprop back-propagates a sample with probability q^b, q being the share of smaller losses: half of all
samples at b = 1, a third at b = 2. "When does loss-based prioritization fail?" has these two."""
HARMLESS = 0.05
"""A selector is safe when it takes at most so much more noise than there is. A choice: the paper's trainings suffer
with a quarter of the samples corrupted and not with none. Worth: no training was made to check it."""
