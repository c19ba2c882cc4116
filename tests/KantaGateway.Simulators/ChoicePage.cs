using System.Net;
using System.Text;

namespace KantaGateway.Simulators;

/// <summary>The page on which a simulated identity provider lets choose who signs in.</summary>
static class ChoicePage
{
    /// <param name="title">Of the page.</param>
    /// <param name="address">Where the choice is posted.</param>
    /// <param name="ticket">Goes with it.</param>
    /// <param name="field">Name of the chosen value.</param>
    /// <param name="people">Value, name and what is said of each.</param>
    /// <param name="service">What is signed in to; null: not said.</param>
    public static string Html(string title, string address, string ticket, string field, IEnumerable<(string Value, string Name, string About)> people, string? service = null)
    {
        var buttons = new StringBuilder();
        foreach (var (value, name, about) in people)
            buttons.AppendLine($"""<li><button name="{field}" value="{WebUtility.HtmlEncode(value)}">{WebUtility.HtmlEncode(name)} <small>{WebUtility.HtmlEncode(about)}</small></button></li>""");
        return $$"""
            <!doctype html>
            <html lang="en">
            <head>
            <meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
            <title>{{title}}</title>
            <style>
            body{font:1.1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:2rem auto;padding:0 1rem;color:#1b1b1b}
            ul{list-style:none;padding:0}button{font:inherit;width:100%;text-align:left;padding:.8rem 1rem;margin:.3rem 0;background:#fff;border:2px solid #2a6ebb;border-radius:.3rem;cursor:pointer}
            button:hover,button:focus{background:#eaf2fa}small{color:#555}
            </style>
            </head>
            <body>
            <h1>{{title}}</h1>
            <p>{{(service is null ? "" : $"You are signing in to <strong>{WebUtility.HtmlEncode(service)}</strong>. ")}}Everyone here is fictional. Choose who you are.</p>
            <form method="post" action="{{address}}">
            <input type="hidden" name="ticket" value="{{ticket}}">
            <ul>
            {{buttons}}</ul>
            <button name="cancel" value="1">Cancel</button>
            </form>
            </body>
            </html>
            """;
    }
}
