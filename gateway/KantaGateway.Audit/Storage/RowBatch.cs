using KantaGateway.Audit.Sealing;

namespace KantaGateway.Audit.Storage;

/// <summary>Rows that were read together, each as <see cref="SealedRow.WriteTo"/> writes it, in memory that the next ones use again. Not thread-safe.</summary>
sealed class RowBatch
{
    /// <summary>Bytes at which a batch is full.</summary>
    public const int Full = 8 << 20;

    private readonly List<(long Index, int Offset, int Length)> _rows = [];
    private byte[] _bytes = new byte[Full];
    private int _length;

    public int Count => _rows.Count;

    public bool IsFull => _length >= Full;

    public void Clear()
    {
        _rows.Clear();
        _length = 0;
        if (_bytes.Length > 4 * Full)
            _bytes = new byte[Full];
    }

    /// <summary>Room for a row, to be filled before the next is added.</summary>
    public Span<byte> Add(long index, int length)
    {
        if (_bytes.Length - _length < length)
            Array.Resize(ref _bytes, Math.Max(_length + length, 2 * _bytes.Length));
        _rows.Add((index, _length, length));
        _length += length;
        return _bytes.AsSpan(_length - length, length);
    }

    public long IndexAt(int position) => _rows[position].Index;

    /// <summary>The stored row at a position of the batch.</summary>
    public ReadOnlySpan<byte> this[int position] => _bytes.AsSpan(_rows[position].Offset, _rows[position].Length);
}
