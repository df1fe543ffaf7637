// Every kernel and the table that lists them. Included inside a namespace, after its scalar functions and what runs
// kernels: launch, workspace and add_one.

#include "../formulas/activations.h"
#include "../formulas/losses.h"
#include "../formulas/noises.h"
#include "../formulas/normal.h"
#include "../formulas/optimizers.h"

#include "../base/philox.h"

#include "loops.h"

#include "kernels_elementwise.h"

#include "kernels_batchnorm.h"
#include "kernels_noise.h"
#include "kernels_optimizer.h"
#include "kernels_pool.h"
#include "kernels_rows.h"

#include "kernels_loss.h"
#include "kernels_metrics.h"

#include "gemm.h"

#include "../base/make_table.h"
