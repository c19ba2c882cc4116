#pragma warning disable CA5394 // The same number must give the same input; nothing here is a secret.
using System.Text;

namespace KantaGateway.Tests.Fuzzing;

/// <summary>
/// Makes hostile inputs of good ones: the same run number always gives the same input, so that a failure can be repeated.
/// </summary>
/// <param name="seeds">Good inputs.</param>
/// <param name="dictionary">Pieces that a format gives meaning to, or that have broken others.</param>
sealed class Mutator(IReadOnlyList<byte[]> seeds, IReadOnlyList<byte[]> dictionary)
{
    private const int MaxLength = 64 * 1024;

    /// <param name="run">Number of the input, from 0.</param>
    public byte[] Make(long run)
    {
        var random = new Random(unchecked((int)(((ulong)run + 1) * 0x9E37_79B9_7F4A_7C15 >> 32)));
        var bytes = new List<byte>(seeds[random.Next(seeds.Count)]);
        for (var i = 1 + random.Next(random.Next(4) == 0 ? 12 : 3); i > 0; i--)
            Change(bytes, random);
        if (bytes.Count > MaxLength)
            bytes.RemoveRange(MaxLength, bytes.Count - MaxLength);
        return [.. bytes];
    }

    private void Change(List<byte> bytes, Random random)
    {
        var at = random.Next(bytes.Count + 1);
        switch (random.Next(10))
        {
            case 0 when at < bytes.Count: // a bit
                bytes[at] ^= (byte)(1 << random.Next(8));
                break;
            case 1 when at < bytes.Count: // any byte
                bytes[at] = (byte)random.Next(256);
                break;
            case 2: // cut off
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 3: // cut out
                bytes.RemoveRange(at, Math.Min(bytes.Count - at, random.Next(40)));
                break;
            case 4: // a stretch again, perhaps many times
                var length = Math.Min(bytes.Count - at, 1 + random.Next(60));
                var stretch = bytes.GetRange(at, length);
                for (var i = random.Next(10) == 0 ? random.Next(400) : 1; i > 0; i--)
                    bytes.InsertRange(at, stretch);
                break;
            case 5: // a stretch of another seed
                var other = seeds[random.Next(seeds.Count)];
                var from = random.Next(other.Length);
                bytes.InsertRange(at, other.AsSpan(from, Math.Min(other.Length - from, random.Next(200))).ToArray());
                break;
            case 6: // one piece instead of another
                var old = dictionary[random.Next(dictionary.Count)];
                if (Find(bytes, old, at) is >= 0 and var found)
                {
                    bytes.RemoveRange(found, old.Length);
                    bytes.InsertRange(found, dictionary[random.Next(dictionary.Count)]);
                }
                break;
            case 7: // digits of a number
                while (at < bytes.Count && bytes[at] is < (byte)'0' or > (byte)'9')
                    at++;
                bytes.InsertRange(at, Encoding.ASCII.GetBytes(Digits(random)));
                break;
            default:
                bytes.InsertRange(at, dictionary[random.Next(dictionary.Count)]);
                break;
        }
    }

    private static string Digits(Random random) => random.Next(6) switch
    {
        0 => new string('9', 1 + random.Next(400)),
        1 => "-",
        2 => "0",
        3 => "e999",
        4 => "." + new string('0', random.Next(60)),
        _ => random.NextInt64().ToString(System.Globalization.CultureInfo.InvariantCulture),
    };

    private static int Find(List<byte> bytes, byte[] piece, int from)
    {
        var found = System.Runtime.InteropServices.CollectionsMarshal.AsSpan(bytes)[from..].IndexOf(piece);
        return found < 0 ? -1 : from + found;
    }
}
