# How a native kernel's process begins, on Linux for amd64. The host puts these
# bytes before the kernel's own, so that none of the kernel's instructions runs
# before the process has given up every system call but read, write, exit and
# sigreturn: there is nothing of the kernel's author in this file.
#
# Descriptors: 0 commands, 1 answers, 2 the memory that holds the fields.
# A command is four 32-bit numbers: cur, next (offsets in the memory), height,
# steps. An answer is one 64-bit number: where the result is. The first answer
# says that the process is ready.
#
#	clang -c -o amd64.o amd64.S && llvm-objcopy -O binary -j .text amd64.o amd64.bin

	.set	base, 0x40000000	# nativeBase
	.text
size:	.quad	0			# of the memory; the host writes it
entry:	.quad	0			# of the kernel; the host writes it
core:	.quad	0, 0			# RLIMIT_CORE: a crash leaves no file
stack:	.quad	65536, 65536		# RLIMIT_STACK

start:
	movl	$436, %eax		# close_range(3, ~0, 0): what the host's parent left open
	movl	$3, %edi
	movl	$-1, %esi
	xorl	%edx, %edx
	syscall
	movl	$9, %eax		# mmap(base, size, READ|WRITE, SHARED|FIXED_NOREPLACE, 2, 0)
	movl	$base, %edi
	movq	size(%rip), %rsi
	movl	$3, %edx
	movl	$0x100001, %r10d
	movl	$2, %r8d
	xorl	%r9d, %r9d
	syscall
	movl	$101, %edi
	cmpq	$base, %rax
	jne	fail
	movl	$3, %eax		# close(2)
	movl	$2, %edi
	syscall
	movl	$160, %eax		# setrlimit(CORE, 0)
	movl	$4, %edi
	leaq	core(%rip), %rsi
	syscall
	movl	$160, %eax		# setrlimit(STACK, 64 KiB)
	movl	$3, %edi
	leaq	stack(%rip), %rsi
	syscall
	movl	$157, %eax		# prctl(NO_NEW_PRIVS, 1, 0, 0, 0)
	movl	$38, %edi
	movl	$1, %esi
	xorl	%edx, %edx
	xorl	%r10d, %r10d
	xorl	%r8d, %r8d
	syscall
	movl	$157, %eax		# prctl(SECCOMP, STRICT)
	movl	$22, %edi
	movl	$1, %esi
	xorl	%edx, %edx
	syscall
	movl	$102, %edi
	testq	%rax, %rax
	jne	fail
	subq	$32, %rsp
	movabsq	$0x79646165726e7161, %rax	# "aqnready"
answer:
	movq	%rax, (%rsp)
	movl	$1, %eax		# write(1, answer, 8)
	movl	$1, %edi
	movq	%rsp, %rsi
	movl	$8, %edx
	syscall
	cmpq	$8, %rax
	jne	quit
	xorl	%eax, %eax		# read(0, command, 16)
	xorl	%edi, %edi
	movq	%rsp, %rsi
	movl	$16, %edx
	syscall
	cmpq	$16, %rax
	jne	quit
	movl	(%rsp), %edi
	addq	$base, %rdi
	movl	4(%rsp), %esi
	addq	$base, %rsi
	movl	8(%rsp), %edx
	movl	12(%rsp), %ecx
	callq	*entry(%rip)
	subq	$base, %rax
	jmp	answer
quit:
	xorl	%edi, %edi
fail:
	movl	$60, %eax		# exit
	syscall
	hlt
