using System.Globalization;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Unicode;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Portal;

namespace KantaGateway.Gateway.Operations;

/// <summary>
/// A notice on paper, for who does not sign in: one document in three languages, with kinds and counts of what was taken and the code by which it is checked. Whose it is stands on the envelope and not in it: name
/// and address are the clinic's to know, and where they are protected stay there.
/// </summary>
internal static class NoticeLetters
{
    private static readonly HtmlEncoder Encoder = HtmlEncoder.Create(UnicodeRanges.All);

    /// <param name="address">Of the portal.</param>
    public static string Write(BreachNotice notice, Texts texts, string address)
    {
        var html = new StringBuilder("<!DOCTYPE html>\n<html lang=\"fi\"><head><meta charset=\"utf-8\"><title>").Append(Encode(notice.Code))
            .Append("</title><style>body{font:12pt/1.5 serif;max-width:40em;margin:2em auto}section{break-after:page}.code{font-size:16pt;font-weight:bold}</style></head><body>");
        foreach (var (language, _) in Texts.Languages)
            html.Append(CultureInfo.InvariantCulture, $"<section lang=\"{language}\">{In(language, notice, texts, address)}</section>");
        return html.Append("</body></html>\n").ToString();
    }

    /// <summary>The draft of a notice in one language, as text: what all of a case's notices say.</summary>
    public static string Draft(NoticeWords words, string from, DateTimeOffset at, string language, Texts texts) => Speaking(language, () =>
    {
        var own = words.In(language);
        return string.Join("\n\n", texts["breach.title"], texts["breach.lead", from, Dates.Day(at)], texts["breach.what"], own.What, texts["breach.consequences"], own.Consequences, texts["breach.measures"], own.Measures,
            texts["breach.real.title"], texts["breach.real.text"], texts["breach.contact"], words.Contact);
    });

    private static string In(string language, BreachNotice notice, Texts texts, string address) => Speaking(language, () =>
    {
        var own = notice.Words.In(language);
        var html = new StringBuilder();
        void Add(string element, string text, string attributes = "") => html.Append(CultureInfo.InvariantCulture, $"<{element}{attributes}>{Encode(text)}</{element}>");
        Add("h1", texts["letter.title"]);
        Add("p", texts["breach.lead", notice.From, Dates.Day(notice.SentAt)]);
        Add("p", $"{texts["breach.real.code"]}: {notice.Code}", " class=\"code\"");
        Add("p", texts["letter.check", address]);
        Add("p", texts["breach.real.text"]);
        foreach (var (title, text) in new[] { ("breach.what", own.What), ("breach.consequences", own.Consequences), ("breach.measures", own.Measures) })
        {
            Add("h2", texts[title]);
            Add("p", text);
        }
        Add("h2", texts["breach.items.title"]);
        Add("p", notice.Items.Count == 0 ? texts["breach.items.unknown"]
            : texts["breach.items.kinds", string.Join(", ", notice.Items.GroupBy(item => texts.Find($"type.{item.Type}") ?? texts["type.other"]).Select(static kind => $"{kind.Key} ({kind.Count()})"))]);
        Add("p", texts["letter.signin", address]);
        Add("h2", texts["breach.do.title"]);
        foreach (var action in VictimHelp.Actions)
        {
            Add("h3", texts[$"breach.do.{action.Code}.title"]);
            Add("p", action.Sites.Count == 0 ? texts[$"breach.do.{action.Code}.text"] : $"{texts[$"breach.do.{action.Code}.text"]} ({string.Join(", ", action.Sites)})");
        }
        Add("h2", texts["breach.contact"]);
        Add("p", notice.Words.Contact);
        return html.ToString();
    });

    internal static T Speaking<T>(string language, Func<T> write)
    {
        var (culture, words) = (CultureInfo.CurrentCulture, CultureInfo.CurrentUICulture);
        try
        {
            CultureInfo.CurrentCulture = CultureInfo.CurrentUICulture = new(language);
            return write();
        }
        finally
        {
            (CultureInfo.CurrentCulture, CultureInfo.CurrentUICulture) = (culture, words);
        }
    }

    private static string Encode(string text) => Encoder.Encode(text);
}
