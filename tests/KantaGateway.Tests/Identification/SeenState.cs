using System.Text;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Tests.Identification;

/// <summary>Everything that was written, names and values; something may happen between a read and what follows it.</summary>
internal sealed class SeenState(ISharedState inner) : ISharedState
{
    private readonly StringBuilder _seen = new();

    private string? _awaited;
    private Func<Task>? _then;

    public string Text => _seen.ToString();

    /// <summary>Once, after the next read of a key that begins so.</summary>
    public void AfterGet(string beginning, Func<Task> then) => (_awaited, _then) = (beginning, then);

    public ValueTask<bool> AddAsync(string key, TimeSpan life, DateTimeOffset? from) { _seen.AppendLine(key); return inner.AddAsync(key, life, from); }
    public ValueTask SetAsync(string key, byte[] value, TimeSpan life) { _seen.AppendLine(key).AppendLine(Encoding.Latin1.GetString(value)); return inner.SetAsync(key, value, life); }
    public ValueTask<bool> ReplaceAsync(string key, byte[] value, TimeSpan life) { _seen.AppendLine(key).AppendLine(Encoding.Latin1.GetString(value)); return inner.ReplaceAsync(key, value, life); }
    public async ValueTask<byte[]?> GetAsync(string key)
    {
        var value = await inner.GetAsync(key);
        if (_awaited is null || !key.StartsWith(_awaited, StringComparison.Ordinal))
            return value;
        _awaited = null;
        await _then!();
        return value;
    }
    public ValueTask RemoveAsync(string key) => inner.RemoveAsync(key);
    public ValueTask<long> CountAsync(string key, TimeSpan life) => inner.CountAsync(key, life);
    public ValueTask<SpreadAnswer> SpreadAsync(IReadOnlyList<Spread> sets, string member, TimeSpan hold, SpreadTrace? trace) => inner.SpreadAsync(sets, member, hold, trace);
    public ValueTask<IReadOnlyList<string>> TracesAsync(string key, TimeSpan within) => inner.TracesAsync(key, within);
    public ValueTask SettleAsync(string set) => inner.SettleAsync(set);
    public ValueTask<IReadOnlyList<FullSet>> TakeUnsettledAsync(TimeSpan after) => inner.TakeUnsettledAsync(after);
    public ValueTask WithdrawAsync(IReadOnlyList<string> sets, string member) => inner.WithdrawAsync(sets, member);
    public ValueTask PutAsync(string group, string member, byte[] value, TimeSpan life, int most) { _seen.AppendLine(group).AppendLine(member).AppendLine(Encoding.Latin1.GetString(value)); return inner.PutAsync(group, member, value, life, most); }
    public ValueTask<IReadOnlyList<byte[]>> ValuesAsync(string group) => inner.ValuesAsync(group);
}
