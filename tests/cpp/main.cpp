// Runs every test of the program, or those whose names are given.
#include "check.hpp"

#include <cstring>

int main(int argc, char** argv) {
    int ran = 0;
    for (const check::test& test : check::tests()) {
        bool wanted = argc == 1;
        for (int i = 1; i < argc; ++i) {
            wanted = wanted || std::strcmp(argv[i], test.name) == 0;
        }
        if (wanted) {
            std::printf("%s\n", test.name);
            std::fflush(stdout);
            test.run();
            ++ran;
        }
    }
    std::printf("tests %d\nlibrary %s\n", ran, strat_version());
    return 0;
}
