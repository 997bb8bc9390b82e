/*
 * What the kernel allows: the same bytes to many sockets, each by one send(2), and nothing else.
 *
 *     send FILE SUBSCRIBERS
 *
 * Listens on a port of the system's choice, which it prints. The first connection commands, the next SUBSCRIBERS ones
 * are sent to. For each byte of a command the content of FILE goes to all of them, and the byte goes back when the
 * kernel has taken everything.
 */
#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int accept_one(int listener) {
    int on = 1, fd = accept(listener, NULL, NULL);
    if (fd < 0) fail("accept");
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on)) fail("setsockopt");
    return fd;
}

static void send_all(int fd, const char *data, size_t size) {
    while (size) {
        ssize_t sent = send(fd, data, size, MSG_NOSIGNAL);
        if (sent < 0) fail("send");
        data += sent;
        size -= (size_t)sent;
    }
}

static char *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail(path);
    long length = ftell(file);
    if (length <= 0) fail(path);
    char *data = malloc((size_t)length);
    rewind(file);
    if (!data || fread(data, 1, (size_t)length, file) != (size_t)length) fail(path);
    fclose(file);
    *size = (size_t)length;
    return data;
}

int main(int argc, char **argv) {
    if (argc != 3) {
        fprintf(stderr, "usage: send FILE SUBSCRIBERS\n");
        return 2;
    }
    size_t size;
    char *data = read_file(argv[1], &size);
    int subscribers = atoi(argv[2]);
    int *sockets = calloc((size_t)subscribers, sizeof *sockets);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    if (!sockets || listener < 0 || bind(listener, (struct sockaddr *)&address, length) || listen(listener, 4096) ||
        getsockname(listener, (struct sockaddr *)&address, &length))
        fail("listen");
    printf("listening on http://127.0.0.1:%d\n", ntohs(address.sin_port));
    fflush(stdout);
    int commander = accept_one(listener);
    for (int i = 0; i < subscribers; i++) sockets[i] = accept_one(listener);
    char command;
    while (recv(commander, &command, 1, 0) == 1) {
        for (int i = 0; i < subscribers; i++) send_all(sockets[i], data, size);
        send_all(commander, &command, 1);
    }
    return 0;
}
