declare const text: string;
export = text;
