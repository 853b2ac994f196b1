# SPDX-License-Identifier: GPL-2.0-only
# Completion of p2pmem-test for bash; needs nothing but bash itself.

# The words of the help that are options: "-c, --chunks N", "--force=WHY".
_p2pmem_test_options() {
	"$1" --help 2>/dev/null |
		sed -nE 's/^ {2}(-[a-zA-Z], | {4})(--[a-zA-Z_-]+)(\[?=)?.*/\2\3/p' |
		sed 's/\[=$//'
}

_p2pmem_test_devices() {
	local path
	for path in /dev/nvme*n* /dev/sd* /dev/vd* /dev/p2pmem* \
		/sys/bus/pci/devices/*/p2pmem/allocate; do
		[[ ! -e $path ]] || printf '%s\n' "$path"
	done
}

# Complete the last of a list with commas; the words before it stay.
_p2pmem_test_list() {
	local before=
	[[ $1 != *,* ]] || before=${1%,*},
	compgen -P "$before" -W "$2" -- "${1##*,}"
}

_p2pmem_test() {
	local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
	local choices=

	# bash cuts --option=value into three words at the '='.
	if [[ $word == = ]]; then
		word=
	elif [[ $option == = ]]; then
		option=${COMP_WORDS[COMP_CWORD - 2]}
	fi

	case $option in
	-s | --chunk_size | --chunk-size) choices='4k 64k 1M' ;;
	-c | --chunks) choices='1 64 1k' ;;
	-t | --threads) choices='1 2 4 8' ;;
	--iodepth) choices='1 4 16 64' ;;
	-o | --offset) choices='0 1M 1G' ;;
	-D | --duration) choices='10 60' ;;
	--seed) choices='-1' ;;
	--init) choices='1 2 4 8' ;;
	--host_access | --host-access) choices='1 2 4 8 -1 -2 -4 -8' ;;
	--force)
		mapfile -t COMPREPLY < <(_p2pmem_test_list "$word" \
			'root mounted swap held busy')
		return
		;;
	esac
	if [[ -n $choices ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$choices" -- "$word")
	elif [[ $word == -* ]]; then
		mapfile -t COMPREPLY < <(compgen \
			-W "$(_p2pmem_test_options "$1")" -- "$word")
		[[ ${COMPREPLY[0]-} != *= ]] || compopt -o nospace
	else
		mapfile -t COMPREPLY < <(compgen \
			-W "$(_p2pmem_test_devices)" -- "$word"
			compgen -f -- "$word")
	fi
}

complete -o filenames -F _p2pmem_test p2pmem-test
