// Every kernel of one instruction set and the table that lists them. Included inside the set's namespace, after its
// vec_<isa>.h and its mathematical functions.

#include "../formulas/activations.h"
#include "../formulas/losses.h"
#include "../formulas/noises.h"
#include "../formulas/normal.h"
#include "../formulas/optimizers.h"

#include "../base/philox.h"

#include "loops.h"
#include "words.h"

#include "kernels_elementwise.h"

#include "kernels_batchnorm.h"
#include "kernels_constraints.h"
#include "kernels_data.h"
#include "kernels_layernorm.h"
#include "kernels_loss.h"
#include "kernels_metrics.h"
#include "kernels_noise.h"
#include "kernels_optimizer.h"
#include "kernels_pool.h"
#include "kernels_residual.h"

#include "gemm.h"

#include "../base/make_table.h"
