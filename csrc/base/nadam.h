// The part of Nadam's momentum product that is no power: at step t the momentum is beta_1 (1 - 0.96^t / 2) (Dozat
// 2016, section 3; the rate of 0.96 is Keras's), and the product of the first t of them is beta_1^t times this one.
#pragma once

namespace fusednet {

struct NadamProducts {
    static constexpr int count = 1024;  // 0.96^t / 2 is below half a unit of 1 from t = 884 on
    double value[count];

    constexpr NadamProducts() : value() {
        long double product = 1, power = 1;
        for (double& v : value) {
            v = static_cast<double>(product);
            power *= 0.96L;
            product *= 1 - power / 2;
        }
    }
    [[gnu::always_inline]] constexpr double at(double t) const noexcept {
        return value[t < 0 ? 0 : t < count ? static_cast<int>(t) : count - 1];
    }
};
constexpr NadamProducts nadam_products;

}  // namespace fusednet
