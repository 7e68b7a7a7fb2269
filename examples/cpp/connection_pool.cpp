// A pool of connections that many threads share: at most three are open, whoever wants a fourth waits, a broken one
// is replaced, and whoever still holds one when the pool ends keeps it.
//
// The server here is a thread behind a socket pair that sends every byte back; put your own `connect` in its place.
//
//   c++ -std=c++17 -O2 -pthread connection_pool.cpp -lstratalloc && ./a.out
#include <stratalloc/object_pool.hpp>

#include <sys/socket.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

std::atomic<int> opened{0};

/// A connection to the server; closed when it goes.
class connection {
public:
    connection() {
        int ends[2];
        if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) != 0) {
            throw std::runtime_error("cannot connect");
        }
        socket_ = ends[0];
        server_ = std::thread([socket = ends[1]] {
            char bytes[256];
            for (ssize_t got; (got = read(socket, bytes, sizeof bytes)) > 0;) {
                if (send(socket, bytes, static_cast<std::size_t>(got), MSG_NOSIGNAL) != got) {
                    break;
                }
            }
            close(socket);
        });
        ++opened;
    }
    connection(const connection&) = delete;
    connection& operator=(const connection&) = delete;
    ~connection() {
        close(socket_);
        server_.join();
    }

    /// Sends `request`; the answer, or nothing when the connection broke.
    std::optional<std::string> ask(const std::string& request) {
        std::string answer(request.size(), ' ');
        const auto size = static_cast<ssize_t>(request.size());
        if (send(socket_, request.data(), request.size(), MSG_NOSIGNAL) != size ||
            recv(socket_, &answer[0], answer.size(), MSG_WAITALL) != size) {
            return std::nullopt;
        }
        ++requests_;
        return answer;
    }

    /// What a network does now and then.
    void break_down() { shutdown(socket_, SHUT_RDWR); }

    void begin_session() { requests_ = 0; }
    int requests() const { return requests_; }

private:
    int socket_ = -1;
    int requests_ = 0;
    std::thread server_;
};

using connections = stratalloc::object_pool<connection>;

} // namespace

int main() {
    std::shared_ptr<connection> kept;
    {
        // Made where none is idle, reset when it comes back, three at most.
        connections pool([] { return connection(); }, [](connection& used) { used.begin_session(); }, 3);

        std::atomic<int> answered{0}, too_many{0};
        std::vector<std::thread> workers;
        for (int worker = 0; worker < 8; ++worker) {
            workers.emplace_back([&, worker] {
                for (int i = 0; i < 100; ++i) {
                    connections::pointer line = pool.acquire(); // waits while all three are out
                    answered += line->ask("request " + std::to_string(worker * 100 + i)).has_value() ? 1 : 0;
                    too_many += pool.size() > 3 ? 1 : 0;
                } // `line` goes back here
            });
        }
        for (std::thread& worker : workers) {
            worker.join();
        }
        std::printf("%d of 800 requests answered, never more than 3 connections: %s\n", answered.load(),
                    too_many == 0 && opened <= 3 ? "yes" : "no");

        // A broken connection must not go back.
        const int before = opened;
        connections::pointer line = pool.acquire();
        line->break_down();
        if (!line->ask("anybody there?")) {
            connections::discard(std::move(line));
        }
        pool.shrink(); // the idle ones too, so that the next is a new one
        line = pool.acquire();
        std::printf("broken one replaced: %s\n",
                    line->ask("hello").value_or("nothing") == "hello" && opened == before + 1 ? "yes" : "no");

        // Shared among whoever needs it; the last to let go gives it back.
        kept = connections::share(std::move(line));
        std::shared_ptr<connection> other = kept;
        std::printf("shared by %ld, requests so far: %d\n", kept.use_count(), other->requests());
    } // the pool ends, the connection that is out does not
    std::printf("after the pool: %s\n", kept->ask("still here").value_or("nothing").c_str());
}
